import { Injectable } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { type Attributes, context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import {
  type DeadLetter,
  type Envelope,
  type EventDescriptor,
  EventingObserver,
  EventingRuntime,
  type SendOutcome,
} from 'nestjs-eventing';
import { headerCarrier } from './header.carrier.js';
import { errorMessage, errorType, Instruments } from './instruments.js';
import { ATTRIBUTE } from './semantic.conventions.js';

/** A span for each send, from the call to the broker's answer; the event carries it as its trace context. */
@Injectable()
export class TelemetryObserver extends EventingObserver {
  #found: EventingRuntime | undefined;

  constructor(
    private readonly module: ModuleRef,
    private readonly instruments: Instruments,
  ) {
    super();
  }

  override sending(envelope: Envelope, event: EventDescriptor): SendOutcome | undefined {
    if (!this.instruments.live) return undefined;
    const { tracer, sent, operationDuration } = this.instruments;
    const common: Attributes = {
      [ATTRIBUTE.system]: this.#runtime.kindOf(event.provider),
      [ATTRIBUTE.destination]: event.channel,
      [ATTRIBUTE.operationName]: 'send',
      [ATTRIBUTE.operationType]: 'send',
    };
    const began = performance.now();
    const span = tracer.startSpan(`send ${event.channel}`, {
      kind: SpanKind.PRODUCER,
      attributes: {
        ...common,
        [ATTRIBUTE.messageId]: envelope.id,
        [ATTRIBUTE.conversationId]: envelope.correlationId,
        [ATTRIBUTE.event]: event.name,
      },
    });
    propagation.inject(trace.setSpan(context.active(), span), envelope.headers, headerCarrier);
    return (error) => {
      const failed: Attributes = error === undefined ? {} : { [ATTRIBUTE.errorType]: errorType(error) };
      if (error !== undefined) {
        span.setAttributes(failed);
        span.setStatus({ code: SpanStatusCode.ERROR, message: errorMessage(error) });
      }
      span.end();
      sent.add(1, { ...common, ...failed });
      operationDuration.record((performance.now() - began) / 1000, { ...common, ...failed });
    };
  }

  override deadLettered(letter: DeadLetter): void {
    this.instruments.deadLetters.add(1, {
      [ATTRIBUTE.destination]: letter.channel,
      [ATTRIBUTE.listener]: letter.listener,
      [ATTRIBUTE.deadLetterReason]: letter.reason,
    });
  }

  // Looked up when it is first needed: the runtime finds this class, so it cannot be injected here.
  get #runtime(): EventingRuntime {
    const found: EventingRuntime = this.#found ?? this.module.get(EventingRuntime, { strict: false });
    this.#found = found;
    return found;
  }
}
