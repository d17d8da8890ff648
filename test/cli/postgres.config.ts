/** What the service of `postgres.e2e.spec.ts` says of itself to the command. No decorators: it is JavaScript. */
export const postgresConfig = (service: string, schema: string, connectionString: string): string => `
import { appendFileSync } from 'node:fs';
import { Module } from '@nestjs/common';
import { Event, EventingModule, EventListener } from 'nestjs-eventing';
import { postgres, PostgresEventLog, serverDatabase } from 'nestjs-eventing/postgres';

class OrderPlaced {}
Event({ name: 'orders.placed', channel: 'orders', key: 'id' })(OrderPlaced);

class Bill {
  on({ id }, { isReplay }) {
    appendFileSync(new URL('replayed.txt', import.meta.url), \`\${id} \${isReplay}\\n\`);
  }
}
EventListener(OrderPlaced, { name: 'Bill' })(Bill);
class Mail {
  on() {}
}
EventListener(OrderPlaced, { name: 'Mail', replay: false })(Mail);

const server = { connectionString: ${JSON.stringify(connectionString)} };
const schema = ${JSON.stringify(schema)};
const options = () => ({
  service: ${JSON.stringify(service)},
  provider: postgres({ ...server, schema }),
  log: new PostgresEventLog({ database: serverDatabase(server), schema }),
});
export default options;
export const classes = [Bill, Mail];

class AppModule {}
Module({ imports: [EventingModule.forRoot(options())], providers: [Bill, Mail] })(AppModule);
export const application = () => AppModule;
`;
