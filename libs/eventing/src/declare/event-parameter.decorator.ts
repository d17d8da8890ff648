import { createParamDecorator, type ExecutionContext, type PipeTransform, type Type } from '@nestjs/common';
import type { Envelope } from '../envelope/envelope.js';

type Pipe = Type<PipeTransform> | PipeTransform;

const envelopeOf = (context: ExecutionContext): Envelope => context.getArgByIndex<Envelope>(1);

const body = (_: unknown, context: ExecutionContext): unknown => context.getArgByIndex<object>(0);
const header = (name: string, context: ExecutionContext): unknown => envelopeOf(context).headers.get(name);
const envelope = (_: unknown, context: ExecutionContext): unknown => envelopeOf(context);

/** The factories of this file, for who reads what decorators left: `metadata.parameters`. */
export const OWN_PARAMETERS: ReadonlyMap<unknown, 'body' | 'header' | 'envelope'> = new Map<
  unknown,
  'body' | 'header' | 'envelope'
>([
  [body, 'body'],
  [header, 'header'],
  [envelope, 'envelope'],
]);

// Made with Nest's own means, so that pipes given here are found and injected as those of any parameter.
const Body = createParamDecorator(body);
const Header = createParamDecorator<string>(header);
const Whole = createParamDecorator(envelope);

/** The event itself: an instance of its class, as the pipes leave it. */
export const EventBody = (...pipes: Pipe[]): ParameterDecorator => Body(...pipes);

/** One header, or `undefined` where it is not there. Names are lower-case on the wire, so any case finds it. */
export const EventHeader = (name: string, ...pipes: Pipe[]): ParameterDecorator => Header(name.toLowerCase(), ...pipes);

/** The whole envelope. */
export const EventEnvelope = (...pipes: Pipe[]): ParameterDecorator => Whole(...pipes);
