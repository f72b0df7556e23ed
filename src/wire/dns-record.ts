const classInternet = 1;

/**
 * A resource record with an address, as DNS has it on the wire (RFC 1035, section 3.2.1), with a time to live of 0:
 * machines come and go. `name` has labels of at most 63 bytes.
 */
export function addressRecord(name: string, type: number, address: Uint8Array): Uint8Array {
  const labels = name.split('.').map((label) => new TextEncoder().encode(label));
  const nameLength = labels.reduce((sum, label) => sum + 1 + label.length, 1);
  const record = new Uint8Array(nameLength + 10 + address.length);
  let offset = 0;
  for (const label of labels) {
    record[offset] = label.length;
    record.set(label, offset + 1);
    offset += 1 + label.length;
  }
  const view = new DataView(record.buffer, offset + 1);
  view.setUint16(0, type);
  view.setUint16(2, classInternet);
  view.setUint32(4, 0);
  view.setUint16(8, address.length);
  record.set(address, offset + 11);
  return record;
}
