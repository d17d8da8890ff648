import type { Clock, Timer } from 'nestjs-eventing';

export interface Opening<Opened> {
  readonly opened: Promise<Opened>;
  cancel(): void;
}

/**
 * The first that opens; the others are cancelled. Each is begun when one failed or when the one before it has hesitated: one that
 * is silent must not hold up the rest. Rejects with the last failure.
 */
export function firstToOpen<Opened>(
  candidates: readonly (() => Opening<Opened>)[],
  hesitation: number,
  clock: Clock,
): Promise<Opened> {
  return new Promise((resolve, reject) => {
    const begun: Opening<Opened>[] = [];
    let timer: Timer | undefined;
    let failures = 0;
    let decided = false;

    const begin = (): void => {
      timer?.cancel();
      const candidate = candidates[begun.length];
      if (decided || candidate === undefined) return;
      const opening = candidate();
      begun.push(opening);
      if (begun.length < candidates.length) timer = clock.setTimeout(begin, hesitation, true);
      opening.opened.then(
        (opened) => {
          if (decided) return opening.cancel();
          decided = true;
          timer?.cancel();
          for (const other of begun) if (other !== opening) other.cancel();
          resolve(opened);
        },
        (error: Error) => {
          if (++failures === candidates.length) reject(error);
          else begin();
        },
      );
    };
    begin();
  });
}
