const JSON_BODY = "-H 'content-type: application/json'";

/** What to try while the shop stays open. */
export function invitation(orders: string, notifications: string): string {
  const order = (language: string, card: string): string =>
    `curl -s ${orders}/orders ${JSON_BODY} -H 'x-session: mine' \\
      -d '{"customer":"You","language":"${language}","card":"${card}","total":100}'`;
  return `The shop stays open: what comes of your orders appears below. Ctrl-C closes it.

  Order something; order with a card whose gateway is flaky; order in a language that receipts do not speak:
    ${order('en', 'card_good')}
    ${order('en', 'card_flaky')}
    ${order('it', 'card_good')}

  Look at an order, and at the dead letters:
    curl -s ${orders}/orders/ORDER_ID
    curl -s ${notifications}/dead-letters

  Mend the receipts, and send a dead letter again:
    curl -s -X PUT ${notifications}/receipt-templates/it ${JSON_BODY} \\
      -d '{"text":"Grazie, {customer}: {total}."}'
    curl -s -X POST ${notifications}/dead-letters/DEAD_LETTER_ID/redrive
`;
}
