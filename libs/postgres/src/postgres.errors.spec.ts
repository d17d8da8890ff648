import { describe, expect, it } from 'vitest';
import { hopeless, isLostConnection, mayPass } from './postgres.errors.js';

const coded = (code: string): Error => Object.assign(new Error('no'), { code });

describe('what an error says of the statement that met it', () => {
  it.each([
    'ECONNRESET',
    'EPROTO',
    'ENETDOWN',
    'ENOBUFS',
    'ERR_STREAM_DESTROYED',
    'ERR_SSL_BAD_RECORD_MAC',
    '57P01',
    '08006',
  ])('nothing, where it is %s: it may have been run', (code) => {
    expect([isLostConnection(coded(code)), mayPass(coded(code))]).toEqual([true, true]);
  });

  it.each(['23505', '42P01', '22021', '42501'])('that it did nothing, where the server says %s', (code) => {
    expect([isLostConnection(coded(code)), mayPass(coded(code))]).toEqual([false, false]);
  });

  it.each(['28P01', '42501', '25006', 'ERR_TLS_CERT_ALTNAME_INVALID'])('that waiting does not mend %s', (code) => {
    expect(hopeless(coded(code))?.code).toMatch(/^EVT_/);
  });
});
