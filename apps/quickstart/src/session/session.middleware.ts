import { Injectable, type NestMiddleware } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Session } from './session.js';

/** Where a session comes from: the header `x-session` of an HTTP request. */
@Injectable()
export class SessionMiddleware implements NestMiddleware<IncomingMessage, ServerResponse> {
  constructor(private readonly session: Session) {}

  use(request: IncomingMessage, _response: ServerResponse, next: () => void): void {
    const header = request.headers['x-session'];
    this.session.run(typeof header === 'string' ? header : undefined, next);
  }
}
