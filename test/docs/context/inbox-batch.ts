import { type BatchEventListener, Event, EventListener } from 'nestjs-eventing';
import { embedded, PostgresInbox } from 'nestjs-eventing/postgres';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
  total!: number;
}

const store = embedded({ dataDir: '/tmp/orders' });
const inbox = new PostgresInbox({ database: store.database });

// the snippet
