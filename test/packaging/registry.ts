import { missingPart } from '../brokers/missing-parts.js';
import { command } from './command.js';
import { ROOT } from './manifest.js';

/** Whether npm cannot be asked for packages; noted with the reason, and an error where CI requires all parts. */
export async function registryIsAway(): Promise<boolean> {
  try {
    await command('npm', ['view', '@nestjs/core', 'name', '--fetch-retries=1'], { cwd: ROOT, timeout: 30_000 });
    return false;
  } catch (error) {
    missingPart('npm registry', (error as Error).message);
    return true;
  }
}
