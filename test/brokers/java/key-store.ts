import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { javaTool, type Java } from './java.js';

const run = promisify(execFile);

export interface KeyStore {
  /** In the format PKCS12. */
  readonly file: string;
  /** For clients to trust, as PEM. */
  readonly certificate: string;
}

/** By the keytool that comes with Java: Node can make keys but no certificates. */
export async function selfSignedStore(java: Java, folder: string, password: string): Promise<KeyStore> {
  const file = join(folder, 'listener.p12');
  const certificate = join(folder, 'listener.pem');
  const keytool = (...args: string[]) =>
    run(javaTool(java, 'keytool'), [...args, '-alias', 'listener', '-keystore', file, '-storepass', password], {
      timeout: 180_000,
    });
  const subject = ['-dname', 'CN=localhost', '-ext', 'san=ip:127.0.0.1,dns:localhost', '-validity', '30'];
  await keytool('-genkeypair', '-keyalg', 'EC', '-storetype', 'PKCS12', ...subject);
  await keytool('-exportcert', '-rfc', '-file', certificate);
  return { file, certificate: await readFile(certificate, 'utf8') };
}
