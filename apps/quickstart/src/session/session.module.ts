import { type MiddlewareConsumer, Module, type NestModule } from '@nestjs/common';
import { SessionMiddleware } from './session.middleware.js';
import { SessionPipeline } from './session.pipeline.js';
import { Session } from './session.js';

/** What every service of the shop imports, so that sessions reach it and leave it. */
@Module({ providers: [Session, SessionPipeline], exports: [Session] })
export class SessionModule implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(SessionMiddleware).forRoutes('{*path}');
  }
}
