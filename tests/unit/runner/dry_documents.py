"""Documents that dry runs walk."""

PAY = """
workflow: pay
env: {TOKEN: {secret: token}}
steps:
  - {key: order, action: shop/get, input: {id: "{{ input.id }}"}, output: {total: "$.body.total"}}
  - key: pay
    action: shop/pay
    input: {amount: "{{ steps.order.output.total }}", token: "{{ env.TOKEN }}"}
    retry: {strategy: FIXED, maxAttempts: 3, initialDelayMs: 30000, maxDelayMs: 30000}
result: {paid: "{{ steps.pay.output.body.id }}"}
"""
ORDER = {"order": {"body": {"total": 5}}}
CHILD = """
workflow: one
steps:
  - key: pay
    action: shop/pay
    input: {order: "{{ input.order }}"}
    compensate: {action: shop/refund, input: {order: "{{ input.order }}"}}
result: {order: "{{ input.order }}"}
"""
PARENT = """
workflow: many
steps:
  - key: each
    type: workflow
    workflow: {name: one}
    forEach: {items: [a, b]}
    input: {order: "{{ item }}"}
  - {key: last, action: shop/get, input: {id: 1}}
compensateOn: [failure]
"""
