import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { InstallationError } from './broker.errors.js';

const run = promisify(execFile);

export interface SelfSigned {
  readonly keyFile: string;
  readonly certificateFile: string;
  /** For clients to trust, as PEM. */
  readonly certificate: string;
}

/** By openssl: Node can make keys but no certificates. Throws an InstallationError where there is none. */
export async function selfSigned(folder: string): Promise<SelfSigned> {
  const keyFile = join(folder, 'key.pem');
  const certificateFile = join(folder, 'certificate.pem');
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyFile];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost', '-days', '30'];
  await run('openssl', ['req', '-x509', ...key, ...subject, '-out', certificateFile], { timeout: 180_000 }).catch(
    (error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      throw new InstallationError('openssl is needed to make a certificate, and there is none on the path');
    },
  );
  return { keyFile, certificateFile, certificate: await readFile(certificateFile, 'utf8') };
}
