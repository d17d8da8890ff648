// The package required and imported in one process: one copy, or two with `--no-experimental-require-module`, as with tools that
// load CommonJS by themselves. Says what of two copies works together.
const { Injectable, Module } = require('@nestjs/common');
const { NestFactory } = require('@nestjs/core');
const one = require('nestjs-eventing');

const logger = false;
const abortOnError = false;

/** Declared with one copy, run by another. */
async function heard(other) {
  const got = [];
  class Placed {}
  other.Event({ name: 'orders.placed', key: 'id' })(Placed);
  class Receipts {
    on(event, envelope) {
      got.push(`${event instanceof Placed} ${envelope instanceof other.Envelope}`);
      throw new other.RejectEvent('never');
    }
  }
  other.EventListener(Placed, { retry: { attempts: 2, delay: 1 } })(Receipts);
  class App {}
  const broker = new one.MemoryBroker();
  const imports = [one.EventingModule.forRoot({ service: 'shop', provider: one.memory({ broker }) })];
  Module({ imports, providers: [Receipts] })(App);
  const app = await NestFactory.createApplicationContext(App, { logger });
  await app.get(one.EventManager).sendEvent(Placed, { id: 'a' });
  await broker.idle();
  const { letters } = await app.get(one.DeadLetters).scan();
  await app.close();
  return { got, reasons: letters.map(({ reason }) => reason) };
}

async function injected(other) {
  class Shop {}
  Injectable()(Shop);
  Reflect.defineMetadata('design:paramtypes', [other.EventManager], Shop);
  class App {}
  Module({ imports: [one.EventingModule.forRoot({ service: 'shop' })], providers: [Shop] })(App);
  try {
    const app = await NestFactory.createApplicationContext(App, { logger, abortOnError });
    await app.close();
    return 'injected';
  } catch (error) {
    return error.message.split('. ')[0];
  }
}

void (async () => {
  const other = await import('nestjs-eventing');
  const same = Object.keys(one).filter((name) => typeof one[name] === 'function' && one[name] === other[name]);
  console.log(JSON.stringify({ same: same.length > 0, ...(await heard(other)), injected: await injected(other) }));
})();
