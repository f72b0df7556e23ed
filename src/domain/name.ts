/**
 * Whether `name` can name a machine: 1 to 64 characters of a-z A-Z 0-9 - _ . — not beginning or ending with a dot or
 * a hyphen's neighbourless label: no two dots in a row, no label that begins or ends with '-'.
 * Source: org.freedesktop.machine1(5), "Methods", and hostname(7).
 */
export function isMachineName(name: string): boolean {
  return name.length <= 64 && labels.test(name);
}

const labels = /^[a-zA-Z0-9_](?:[a-zA-Z0-9_-]*[a-zA-Z0-9_])?(?:\.[a-zA-Z0-9_](?:[a-zA-Z0-9_-]*[a-zA-Z0-9_])?)*$/;
