/** Inclusive offsets of records that were settled although an earlier one was not. */
export interface DoneRange {
  readonly from: number;
  readonly to: number;
}

/** What is written with a position, so that the next owner of the partition repeats little and notices a crash. */
export interface PositionNotes {
  /** The attempt with which the record at the position is to be delivered next; 1 says nothing of it. */
  readonly attempt: number;
  readonly done: readonly DoneRange[];
}

/** Kafka's `offset.metadata.max.bytes`, as brokers are usually configured. */
export const METADATA_BYTES = 4096;
/** Beyond this no more records are taken until the gap closes: what is in the window still needs room. */
export const METADATA_ENOUGH = 3600;

const FORMAT = /^1(?:;a=([1-9]\d{0,5}))?(?:;d=([0-9a-z.,]*))?$/;

/**
 * `1;a=2;d=5.3,1` : format, attempt, ranges. A range is its distance from the end of the one before (at first from the position)
 * and its length beyond the first, in base 36. What does not fit is left out: it will merely be repeated.
 */
export function encodeNotes(position: number, notes: PositionNotes): string {
  let text = notes.attempt > 1 ? `1;a=${notes.attempt}` : '1';
  let separator = ';d=';
  let at = position;
  for (const { from, to } of notes.done) {
    const length = to - from;
    const range = length === 0 ? (from - at).toString(36) : `${(from - at).toString(36)}.${length.toString(36)}`;
    if (text.length + separator.length + range.length > METADATA_BYTES) break;
    text += separator + range;
    separator = ',';
    at = to;
  }
  return text === '1' ? '' : text;
}

/** Hostile input: whatever is not exactly of this form counts as nothing. */
export function decodeNotes(position: number, text: string): PositionNotes {
  const match = text.length > METADATA_BYTES ? null : FORMAT.exec(text);
  if (match === null) return NOTHING;
  const done: DoneRange[] = [];
  let at = position;
  for (const range of match[2] === undefined || match[2] === '' ? [] : match[2].split(',')) {
    const [distance, length = '0', ...more] = range.split('.');
    const from = at + parseInt(distance ?? '', 36);
    const to = from + parseInt(length, 36);
    if (more.length > 0 || !Number.isSafeInteger(to) || from < at || (from === at && done.length > 0))
      return { attempt: attemptOf(match[1]), done: [] };
    done.push({ from, to });
    at = to;
  }
  return { attempt: attemptOf(match[1]), done };
}

const NOTHING: PositionNotes = { attempt: 1, done: [] };

function attemptOf(text: string | undefined): number {
  return text === undefined ? 1 : Number(text);
}
