/**
 * Keeps 200 looks into 20 guests under way, over several connections, while machines are registered and forgotten, until
 * its standard input ends. A process of its own: what it does is not to delay the one that measures.
 */
import { BusClient, VarlinkClient, varlinkCall } from './clients.js';
import { bootedGuests, crowdGuests, crowdPrefix, spareLeaders } from './plan.js';
import { leaderOf } from './state.js';

const looks = 200;
const connections = 4;
const members = ['GetMachineAddresses', 'GetMachineOSRelease'];

let over = false;
process.stdin.on('end', () => (over = true)).resume();
const guests = [...Object.values(bootedGuests), ...Array.from({ length: crowdGuests }, (_, number) => `${crowdPrefix}${number}`)];
const clients = await Promise.all(Array.from({ length: connections }, () => BusClient.connect()));
const varlink = await VarlinkClient.connect();
const workers = Array.from({ length: looks }, (_, number) => lookAround(number));
process.stdout.write('begun\n');
await Promise.all([...workers, registerAndForget()]);
process.exit(0);

async function lookAround(number: number): Promise<void> {
  const client = clients[number % connections] as BusClient;
  for (let turn = number; !over; turn++) {
    const member = members[turn % members.length] as string;
    await client.call({ member, signature: 's', body: [guests[turn % guests.length]] });
  }
}

async function registerAndForget(): Promise<void> {
  for (let turn = 0; !over; turn++) {
    const { name, pid } = leaderOf(turn % spareLeaders);
    const registered = await varlink.call(varlinkCall('Register', { name, class: 'container', service: 'bench', leader: pid }), 1).then(
      () => true,
      refuseUnlessExists,
    );
    if (registered) await varlink.call(varlinkCall('Unregister', { name }), 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The original forgets a machine when it has nothing else to do, and it never has here. */
function refuseUnlessExists(error: Error): false {
  if (error.message.includes('io.systemd.Machine.MachineExists')) return false;
  throw error;
}
