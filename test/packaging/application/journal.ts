import { Injectable, type OnModuleDestroy } from '@nestjs/common';

/** What happened: the program prints it when it ends. */
@Injectable()
export class Journal implements OnModuleDestroy {
  /** Of listeners that know nothing of each other: in no order. */
  readonly lines: string[] = [];
  /** In this order. */
  readonly closing: string[] = [];

  onModuleDestroy(): void {
    this.closing.push('the journal is closed');
  }
}
