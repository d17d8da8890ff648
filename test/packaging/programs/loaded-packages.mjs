// The packages that `nestjs-eventing` loads when one of its entries is imported, by the account of Node's module loader. What these
// load in their turn is theirs: Nest 11 looks for its own optional packages.
import { register } from 'node:module';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';

// Runs in a thread of its own, as Node wants it.
const hooks = `
  let port;
  export const initialize = (data) => { port = data.port; };
  export async function resolve(specifier, context, next) {
    const found = await next(specifier, context);
    port.postMessage({ from: context.parentURL, url: found.url });
    return found;
  }
`;

const { port1, port2 } = new MessageChannel();
register(`data:text/javascript,${encodeURIComponent(hooks)}`, {
  parentURL: import.meta.url,
  data: { port: port2 },
  transferList: [port2],
});
await import(process.argv[2]);

const packageOf = (url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url ?? '')?.[1];
const loaded = new Set();
for (let said = receiveMessageOnPort(port1); said; said = receiveMessageOnPort(port1))
  if (packageOf(said.message.from) === 'nestjs-eventing') loaded.add(packageOf(said.message.url));
port1.close();
// Neither Node's own modules nor those of the package.
console.log(JSON.stringify([...loaded].filter((name) => name && name !== 'nestjs-eventing').sort()));
