import { Injectable, Logger } from '@nestjs/common';

export interface Mail {
  readonly to: string;
  readonly text: string;
}

/** Stands in for a mail server: `npm start -- --verbose` shows what it would send. */
@Injectable()
export class Mailer {
  readonly #log = new Logger('Mailer');

  async send(mail: Mail): Promise<void> {
    this.#log.log(`To ${mail.to}: ${mail.text}`);
  }
}
