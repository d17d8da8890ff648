import { rm } from 'node:fs/promises';
import type { ProviderFactory } from 'nestjs-eventing';
import { embedded } from 'nestjs-eventing/postgres';
import type { ConformanceEnvironment } from 'nestjs-eventing/testing';

/**
 * PGlite in a folder, of which all providers of a case have one: it is a database of one process. Nothing between them can be cut, so that
 * cases of crashes and lost connections are for the server alone; `embedded.int.spec.ts` of the room kills a real process.
 */
export function embeddedEnvironment(dataDir: string): ConformanceEnvironment & { readonly end: () => Promise<void> } {
  const factory: ProviderFactory = embedded({
    dataDir,
    partitions: 4,
    leaseTime: 4_000,
    heartbeatInterval: 500,
  });
  return {
    name: 'embedded',
    patience: 90_000,
    silence: 700,
    traits: {
      repeatsBeyondGap: false,
      repeatsOnMove: false,
      windowCountsFromGap: true,
      movesSources: true,
      ownershipTimeout: 4_000,
    },
    open: () => Promise.resolve({ provider: () => factory, close: () => Promise.resolve() }),
    end: () => rm(dataDir, { recursive: true, force: true }),
  };
}
