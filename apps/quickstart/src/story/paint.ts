import { styleText } from 'node:util';

export type Colour = Parameters<typeof styleText>[0];
/** `undefined`: as it is. */
export type Paint = (colour: Colour | undefined, text: string) => string;

/** Colours, where somebody looks at a terminal and has not refused them (https://no-color.org). */
export function paintFor(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv): Paint {
  const coloured = stream.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  return (colour, text) =>
    coloured && colour !== undefined ? styleText(colour, text, { validateStream: false }) : text;
}
