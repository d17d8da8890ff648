import { describe, expect, it } from 'vitest';
import { loadLibrary } from './client.library.js';

describe('a client library', () => {
  it('that is not installed is named, with what to do', async () => {
    const cause = Object.assign(new Error("Cannot find package 'pg'"), { code: 'ERR_MODULE_NOT_FOUND' });
    await expect(loadLibrary('pg', 'postgres()', () => Promise.reject(cause))).rejects.toMatchObject({
      code: 'EVT_CLIENT_MISSING',
      message: 'pg is not installed, and postgres() needs it: npm install pg.',
      cause,
    });
  });

  it('that is broken says so itself', async () => {
    const cause = new SyntaxError('Unexpected token');
    await expect(loadLibrary('pg', 'postgres()', () => Promise.reject(cause))).rejects.toBe(cause);
  });
});
