/**
 * Whether `name` can name a machine: 1 to 64 characters, labels of a-z A-Z 0-9 - _ with a dot between any two, none of which
 * begins or ends with '-'. Source: org.freedesktop.machine1(5), "Methods", and hostname(7).
 */
export function isMachineName(name: string): boolean {
  return name.length <= 64 && labels.test(name);
}

const labels = /^[a-zA-Z0-9_](?:[a-zA-Z0-9_-]*[a-zA-Z0-9_])?(?:\.[a-zA-Z0-9_](?:[a-zA-Z0-9_-]*[a-zA-Z0-9_])?)*$/;
