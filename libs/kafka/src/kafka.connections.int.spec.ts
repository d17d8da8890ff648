import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { turn, until } from './kafka.fixture.js';
import { TestService, type Received, type TestProcess } from './kafka.process.fixture.js';
import { Relays } from './kafka.relay.fixture.js';

const brokers = inject('kafkaBrokers');
/** With those of the retry topic more than there are connections for transactions, and half of them fewer. */
const PARTITIONS = 2;

describe.skipIf(brokers.length === 0)('connections to Kafka', () => {
  let service: TestService;
  beforeEach(() => (service = new TestService(brokers, PARTITIONS)));
  afterEach(() => service.stop());

  /** Opens what stays open for the whole process: the usual connections, those of the producer, those for positions. */
  async function warmUp(process: TestProcess): Promise<void> {
    await process.publish(service.channel, ['warm'], { key: 'k' });
    const plain = await process.subscribe('Plain', service.channel);
    await process.publish(service.channel, ['warm'], { key: 'k' });
    await until('it arrives', () => plain.texts.length > 0);
    await plain.handle?.stop();
    await turn();
  }

  async function relaying(process: TestProcess, relays: Relays): Promise<Received> {
    const settle = relays.accept.bind(relays);
    return process.subscribe('Relay', service.channel, settle, { transactional: true });
  }

  it('that a transactional subscription has opened are closed when it stops, each time', async () => {
    const relays = await new Relays(service).open();
    const process = await service.process({ transactions: true }).start(service.channel, relays.out);
    await warmUp(process);
    const before = process.network.size;
    for (let round = 0; round < 3; round++) {
      const relay = await relaying(process, relays);
      const arrived = relays.arrived;
      await relays.send(60);
      await until('all of it is relayed', () => relays.arrived >= arrived + 60);
      // For the group, for reading, and several for transactions.
      expect(process.network.size).toBeGreaterThan(before + 2);
      await relay.handle?.stop();
      await until('they are closed', () => process.network.size === before);
    }
  });

  it('for transactions go with the partitions that move away, and are there again with those that come', async () => {
    const relays = await new Relays(service).open();
    const one = await service.process({ transactions: true }).start(service.channel, relays.out);
    const two = await service.process({ transactions: true }).start(service.channel, relays.out);
    await warmUp(one);
    await relaying(one, relays);
    await relays.send(60);
    await until('all of it is relayed', () => relays.arrived >= 60);
    const all = one.network.size;
    const heir = await relaying(two, relays);
    await until('it has let go of some', () => one.network.size < all);
    expect(one.network.size).toBeGreaterThan(0);
    await heir.handle?.stop();
    await until('it has them again', () => one.network.size === all);
  });
});
