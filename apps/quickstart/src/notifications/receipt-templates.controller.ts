import { Body, Controller, HttpCode, Param, Put, ValidationPipe } from '@nestjs/common';
import { IsString, Length } from 'class-validator';
import { ReceiptTemplates } from './receipt.templates.js';

export class ReceiptTemplate {
  @IsString()
  @Length(1, 10_000)
  text!: string;
}

@Controller('receipt-templates')
export class ReceiptTemplatesController {
  constructor(private readonly templates: ReceiptTemplates) {}

  @Put(':language')
  @HttpCode(204)
  set(@Param('language') language: string, @Body(new ValidationPipe()) template: ReceiptTemplate): void {
    this.templates.set(language, template.text);
  }
}
