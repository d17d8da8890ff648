import { Module } from '@nestjs/common';
import { Instruments } from './instruments.js';
import { TelemetryObserver } from './telemetry.observer.js';
import { TelemetryPipeline } from './telemetry.pipeline.js';

/**
 * Spans and metrics of everything sent and handled, by `@opentelemetry/api` alone: import it beside `EventingModule.forRoot()`, and register
 * an SDK before the application is made. Without an SDK nothing is recorded. Name `TelemetryPipeline` first in
 * `forRoot({ pipelines })` where its span is to hold all other pipelines too.
 */
@Module({
  providers: [{ provide: Instruments, useFactory: () => new Instruments() }, TelemetryObserver, TelemetryPipeline],
})
export class EventingTelemetryModule {}
