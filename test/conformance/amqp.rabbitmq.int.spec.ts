import { describe, it } from 'vitest';
import { amqp } from 'nestjs-eventing/amqp';
import { conformance, type ConformanceEnvironment } from 'nestjs-eventing/testing';
import { RabbitMqPeer } from '../../libs/amqp/src/rabbitmq.peer.fixture.js';
import { InstanceNetwork } from './instance.network.js';

// RabbitMQ 4's dialect, against a mock that follows RabbitMQ's documentation, since there is no RabbitMQ 4 here: it shows that all that
// the kernel asks for is said in that dialect, and nothing about RabbitMQ.

describe('on a mock of RabbitMQ 4', () => {
  conformance({ describe, it: it.concurrent }, environment());
});

function environment(): ConformanceEnvironment {
  return {
    name: 'amqp on a mock of RabbitMQ 4',
    patience: 30_000,
    silence: 300,
    traits: { repeatsBeyondGap: false, repeatsOnMove: false },
    async open() {
      const peer = await RabbitMqPeer.start();
      const networks = new Map<string, InstanceNetwork>();
      const dead = new Set<string>();
      let away = false;
      return {
        provider(instance) {
          const network = networks.get(instance) ?? new InstanceNetwork();
          networks.set(instance, network);
          if (away) network.cut();
          const quick = { connectTimeout: 2_000, idleTimeout: 3_000 };
          return amqp({ broker: 'rabbitmq', ...peer.access, ...quick, openSocket: network.open });
        },
        crash(instance) {
          dead.add(instance);
          networks.get(instance)?.cut();
        },
        disconnect() {
          away = true;
          for (const network of networks.values()) network.cut();
        },
        connect() {
          away = false;
          for (const [instance, network] of networks) if (!dead.has(instance)) network.mend();
        },
        makePublishFail: (channel) => void peer.state.forbidden.add(channel),
        makeDeadLettersFail(service) {
          const name = `${service}.dead-letters`;
          peer.state.full.add(name);
          return () => void peer.state.full.delete(name);
        },
        remains: async () => [...peer.state.queues.keys()].filter((name) => name.includes(':')),
        async close() {
          for (const network of networks.values()) network.cut();
          await peer.close();
        },
      };
    },
  };
}
