import { createRequire } from 'node:module';
import rhea from 'rhea';
import { expect, it } from 'vitest';
import { connectionInternals, internalsOf } from './rhea.internals.js';

it('is the rhea that was read', () => {
  const { version } = createRequire(import.meta.url)('rhea/package.json') as { readonly version: string };
  expect(version).toMatch(/^3\.0\./);
});

it('has the parts that are used beyond its types', () => {
  const connection = rhea.create_container().create_connection({ reconnect: false } as never);
  const internals = connectionInternals(connection);
  expect(internals._register).toBeTypeOf('function');
  expect(internals.local.open).toBeDefined();
  const session = internals.create_session();
  const { on_transfer, on_disposition, output, incoming, outgoing } = internalsOf(session);
  for (const method of [on_transfer, on_disposition, output]) expect(method).toBeTypeOf('function');
  expect(incoming).toMatchObject({ next_transfer_id: 0, max_transfer_id: 2048 });
  expect(outgoing).toMatchObject({ next_delivery_id: 0, next_pending_delivery: 0 });
  expect(outgoing.deliveries.available()).toBe(2048);
  expect(outgoing.deliveries.by_id(0)).toBeUndefined();
  const receiver: unknown = session.open_receiver({ credit_window: 0, source: 'a' });
  expect(receiver).toMatchObject({ credit: 0, delivery_count: 0, drain: false });
});
