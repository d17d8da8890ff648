/** Greatest number of characters that are shown of a value in a list, of one header, of a whole body. */
export const IN_A_LIST = 200;
export const A_HEADER = 2_000;
export const A_BODY = 64 * 1024;

// oxlint-disable-next-line no-control-regex -- those are what it is about
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029]/g;

/** Text of others as it may be printed: what would move the cursor or change colours is spelled out, and it is not too long. */
export function shown(text: string, most: number): string {
  const plain = text.replace(CONTROL, (character) => {
    const code = character.charCodeAt(0).toString(16);
    return code.length > 2 ? `\\u${code.padStart(4, '0')}` : `\\x${code.padStart(2, '0')}`;
  });
  return plain.length <= most ? plain : `${plain.slice(0, most)}… (${plain.length - most} more)`;
}

/** The same in one line. */
export const line = (text: string, most = IN_A_LIST): string => shown(text.replace(/\s+/g, ' '), most);

/** A time as people and programs both read it; what is none, as the number that it is. */
export function at(milliseconds: number): string {
  const date = new Date(milliseconds);
  return Number.isNaN(date.getTime()) ? String(milliseconds) : date.toISOString();
}
