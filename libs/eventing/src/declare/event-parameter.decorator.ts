import { metadata } from './metadata.js';

/** Which argument of a listener method gets what. */
export type EventParameter =
  | { readonly index: number; readonly kind: 'body' }
  | { readonly index: number; readonly kind: 'envelope' }
  | { readonly index: number; readonly kind: 'header'; readonly name: string };

const parameter =
  (describe: (index: number) => EventParameter): ParameterDecorator =>
  (prototype, method, index) => {
    if (method !== undefined) metadata.addParameter(prototype, method, describe(index));
  };

/** The event itself: an instance of its class. */
export const EventBody = (): ParameterDecorator => parameter((index) => ({ index, kind: 'body' }));

/** One header, or `undefined` where it is not there. Names are lower-case on the wire, so any case finds it. */
export const EventHeader = (name: string): ParameterDecorator =>
  parameter((index) => ({ index, kind: 'header', name: name.toLowerCase() }));

/** The whole envelope. */
export const EventEnvelope = (): ParameterDecorator => parameter((index) => ({ index, kind: 'envelope' }));
