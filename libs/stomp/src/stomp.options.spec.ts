import { describe, expect, it } from 'vitest';
import { largestBody, resolveStompOptions, type StompOptions } from './stomp.options.js';
import { stomp } from './stomp.provider.js';

describe('the options of stomp()', () => {
  it('are few', () => {
    const resolved = resolveStompOptions({ host: 'localhost' });
    expect(resolved).toMatchObject({ port: 61_613, virtualHost: 'localhost', tls: undefined, heartbeat: 5_000 });
    expect(largestBody(resolved)).toBe(8_323_072);
    expect(resolveStompOptions({ host: 'a', tls: true }).tls).toEqual({});
    expect(resolveStompOptions({ host: 'a', tls: false }).tls).toBeUndefined();
  });

  it('are refused all at once, and the password is not in the message', () => {
    const wrong = { host: '', port: 0, heartbeat: 1, password: 'se\ncret', prot: 1 } as StompOptions;
    const refuse = (): unknown => stomp(wrong);
    expect(refuse).toThrow(expect.objectContaining({ code: 'EVT_INVALID_OPTIONS' }));
    for (const name of ['host', 'port', 'heartbeat', 'password', 'prot']) expect(refuse).toThrow(`\`${name}\``);
    expect(refuse).not.toThrow('cret');
  });
});
