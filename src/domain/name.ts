/**
 * Whether `name` can name a machine: a hostname of 1 to 64 characters, labels of a-z A-Z 0-9 - with a dot between any two,
 * none of which begins or ends with '-'. Source: hostname(7); org.freedesktop.machine1(5) allows '_' too, which the
 * original refuses.
 */
export function isMachineName(name: string): boolean {
  return name.length <= 64 && labels.test(name);
}

const labels = /^[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*$/;
