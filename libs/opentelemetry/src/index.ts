export { EventingTelemetryModule } from './telemetry.module.js';
export { TelemetryPipeline } from './telemetry.pipeline.js';
export { TelemetryObserver } from './telemetry.observer.js';
