import { Injectable } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import {
  type Attributes,
  type Context,
  context,
  type Link,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { type Envelope, EnvelopePipeline, EventingRuntime, type ListenerDescriptor, type Next } from 'nestjs-eventing';
import { headerCarrier } from './header.carrier.js';
import { errorMessage, errorType, Instruments } from './instruments.js';
import { ATTRIBUTE } from './semantic.conventions.js';

/**
 * A span for each attempt to handle an event: a child of the span that sent it, and linked to it. A batch has a span of its own, linked to
 * all that sent its events. What the listener does happens inside of it.
 */
@EnvelopePipeline()
@Injectable()
export class TelemetryPipeline implements EnvelopePipeline {
  // Looked up when it is first needed: the runtime finds this class, so it cannot be injected here.
  #found: EventingRuntime | undefined;

  constructor(
    private readonly module: ModuleRef,
    private readonly instruments: Instruments,
  ) {}

  handle(envelope: Envelope, listener: ListenerDescriptor, next: Next): Promise<void> {
    if (!this.instruments.live) return next();
    const { sender, links } = sentBy([envelope]);
    const channel = channelOf(envelope, listener);
    return this.#process(sender ?? ROOT_CONTEXT, channel, listener, links, 1, next, {
      [ATTRIBUTE.messageId]: envelope.id,
      [ATTRIBUTE.conversationId]: envelope.correlationId,
      [ATTRIBUTE.event]: envelope.name,
      [ATTRIBUTE.attempt]: envelope.attempt,
    });
  }

  handleBatch(envelopes: readonly Envelope[], listener: ListenerDescriptor, next: Next): Promise<void> {
    if (!this.instruments.live) return next();
    const channels = new Set(envelopes.map((envelope) => channelOf(envelope, listener)));
    const { links } = sentBy(envelopes);
    return this.#process(ROOT_CONTEXT, [...channels].join(','), listener, links, envelopes.length, next, {
      [ATTRIBUTE.batchCount]: envelopes.length,
    });
  }

  async #process(
    parent: Context,
    channel: string,
    listener: ListenerDescriptor,
    links: Link[],
    count: number,
    next: Next,
    more: Attributes,
  ): Promise<void> {
    const { tracer, consumed, processDuration } = this.instruments;
    const runtime: EventingRuntime = this.#found ?? this.module.get(EventingRuntime, { strict: false });
    this.#found = runtime;
    const common: Attributes = {
      [ATTRIBUTE.system]: runtime.kindOf(listener.provider),
      [ATTRIBUTE.destination]: channel,
      [ATTRIBUTE.operationName]: 'process',
      [ATTRIBUTE.operationType]: 'process',
      [ATTRIBUTE.consumerGroup]: `${runtime.service}.${listener.group}`,
      [ATTRIBUTE.listener]: listener.name,
    };
    const began = performance.now();
    const attributes = { ...common, ...more };
    const span = tracer.startSpan(`process ${channel}`, { kind: SpanKind.CONSUMER, attributes, links }, parent);
    let failed: Attributes = {};
    try {
      await context.with(trace.setSpan(parent, span), next);
    } catch (error) {
      failed = { [ATTRIBUTE.errorType]: errorType(error) };
      span.setAttributes(failed);
      span.setStatus({ code: SpanStatusCode.ERROR, message: errorMessage(error) });
      throw error;
    } finally {
      span.end();
      consumed.add(count, { ...common, ...failed });
      processDuration.record((performance.now() - began) / 1000, { ...common, ...failed });
    }
  }
}

/** The contexts in which events were sent. `sender`: that of the last that has one. */
function sentBy(envelopes: readonly Envelope[]): { readonly sender: Context | undefined; readonly links: Link[] } {
  let sender: Context | undefined;
  const links: Link[] = [];
  for (const { headers } of envelopes) {
    const extracted = propagation.extract(ROOT_CONTEXT, headers, headerCarrier);
    const spanContext = trace.getSpanContext(extracted);
    if (spanContext === undefined) continue;
    sender = extracted;
    links.push({ context: spanContext });
  }
  return { sender, links };
}

function channelOf(envelope: Envelope, { events }: ListenerDescriptor): string {
  const event = events.find(({ name }) => name === envelope.name);
  return event?.channel ?? envelope.name;
}
