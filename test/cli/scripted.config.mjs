// A service whose provider is two files beside this one: `letters.json` has its dead letters, `sent.json` what was redriven; its
// log answers what `log.json` says. Plain
// JavaScript that imports nothing, so that any form of the command can read it.
import { readFile, writeFile } from 'node:fs/promises';

const file = (name) => new URL(name, import.meta.url);
const read = async (name) => JSON.parse(await readFile(file(name), 'utf8').catch(() => '[]'));
const write = (name, value) => writeFile(file(name), JSON.stringify(value));

const letterOf = ({ body = '{}', key, headers = {}, ...letter }) => ({
  service: 'shop',
  channel: 'orders',
  attempts: 5,
  firstFailedAt: letter.deadAt - 1000,
  ...letter,
  message: { key, headers, body: Buffer.from(body, 'latin1'), time: letter.deadAt - 2000, position: `0@${letter.id}` },
});

const scripted = {
  kind: 'scripted',
  migrate: async () => (await read('migrations.json')).map((name) => `created ${name}`),
  create: (context) => ({
    kind: 'scripted',
    abilities: {
      order: 'cluster',
      durable: true,
      groups: true,
      perProcess: true,
      longestDefer: 0,
      replay: false,
      transactions: false,
      largestMessage: 1_000_000,
    },
    binding: {
      attributePrefix: 'ce_',
      contentTypeHeader: 'content-type',
      carriesTime: true,
      carriesKey: true,
    },
    start: async () => {
      const [away] = await read('away.json');
      if (away === 'for ever') await new Promise(() => undefined);
      if (away !== undefined) throw new Error(away);
      context.logger.log('scripted: connected');
      context.onStatus('connected');
    },
    publish: async (messages) => {
      const sent = messages.map(({ id, channel, key, to, body }) => ({ id, channel, key, to, body: body.toString() }));
      await write('sent.json', [...(await read('sent.json')), ...sent]);
      return [];
    },
    subscribe: () => Promise.reject(new Error('nobody subscribes here')),
    deadLetters: {
      append: () => Promise.reject(new Error('nobody appends here')),
      scan: async ({ cursor = '0', limit }) => {
        const letters = await read('letters.json');
        const end = Number(cursor) + limit;
        const page = letters.slice(Number(cursor), end).map(letterOf);
        return end < letters.length ? { letters: page, cursor: String(end) } : { letters: page };
      },
      remove: async (ids) =>
        write(
          'letters.json',
          (await read('letters.json')).filter(({ id }) => !ids.includes(id)),
        ),
    },
    stop: async () => undefined,
  }),
};

// Answers what `log.json` says, and writes down what it is asked.
const answer = async (question, ...asked) => {
  await write('asked.json', [...(await read('asked.json')), [question, ...asked]]);
  return JSON.parse(await readFile(file('log.json'), 'utf8'))[question];
};
const log = {
  open: () => undefined,
  sent: (filter, page) => answer('sent', filter, page),
  handled: (filter, page) => answer('handled', filter, page),
  resend: (filter, options) => answer('resend', filter, options),
  close: async () => undefined,
};

export default async () => ({ service: 'shop', provider: scripted, log });
