import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { ProviderFactory } from 'nestjs-eventing';
import { openShop } from './shop.js';
import type { Account, Chapter } from './story/account.js';
import { AccountText } from './story/account.text.js';
import { invitation } from './story/invitation.js';
import { Journal } from './story/journal.js';
import type { Paint } from './story/paint.js';
import { tell, withEvents } from './story/story.js';
import { judge } from './story/verdict.js';

export interface QuickstartOptions {
  readonly provider: ProviderFactory;
  /** Milliseconds for which the story waits for anything. */
  readonly patience: number;
  readonly json: boolean;
  readonly serve: boolean;
  readonly paint: Paint;
  /** Asks it to stop, in order. */
  readonly signal: AbortSignal;
  readonly opened?: () => void;
  readonly print: (line: string) => void;
}

/** Opens the shop, tells the story, judges it and closes the shop. Resolves with the exit code. */
export async function quickstart({
  provider,
  patience,
  json,
  serve,
  paint,
  signal,
  opened,
  print,
}: QuickstartOptions): Promise<0 | 1> {
  const text = new AccountText(paint);
  const say = json ? (): void => undefined : print;
  const run = randomBytes(2).toString('hex');
  const journal = new Journal();
  const shop = await openShop(provider, journal);
  opened?.();
  try {
    say(text.opening(provider.kind, run, shop.services));
    const startedAt = journal.now();
    const told: Chapter[] = [];
    for await (const chapter of tell({ shop, journal, run, patience, signal })) {
      told.push(chapter);
      say(text.chapter(chapter, told.length));
    }
    const tookMs = Math.round(journal.now() - startedAt);

    // What the services still had in hand when the story ended is part of the account.
    if (!serve) await shop.close();
    const chapters = told.map((chapter) => withEvents(chapter, journal));
    const steps = judge(chapters);
    const ok = steps.every((step) => step.ok);
    const account: Account = {
      ok,
      run,
      provider: provider.kind,
      startedAt,
      tookMs,
      services: shop.services,
      chapters,
      steps,
    };
    say(text.verdict(account));
    if (json) print(JSON.stringify(account, undefined, 2));

    if (serve && !signal.aborted) {
      say(invitation(shop.url('orders'), shop.url('notifications')));
      say(text.heading());
      journal.follow((entry) => say(text.entry(entry, new Date(entry.at).toLocaleTimeString('en-GB'))));
      await once(signal, 'abort');
      say('\nClosing the shop.');
    }
    return ok ? 0 : 1;
  } finally {
    await shop.close();
  }
}
