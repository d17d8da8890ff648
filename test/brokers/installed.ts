import { InstallationError } from './broker.errors.js';

/** What `install` gives, or why it cannot be had. A broker that is installed and does not start is an error, not a lack. */
export async function orReason<T extends object>(install: () => T | Promise<T>): Promise<T | string> {
  try {
    return await install();
  } catch (error) {
    if (error instanceof InstallationError) return error.message;
    throw error;
  }
}
