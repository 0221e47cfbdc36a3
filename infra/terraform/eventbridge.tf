# Notifier eventbridge.

data "aws_iam_policy_document" "eventbridge" {
  statement {
    sid    = "Tell"
    effect = "Allow"
    actions = [
      "events:PutEvents",
    ]
    resources = var.buses
  }
}

resource "aws_iam_policy" "eventbridge" {
  count  = length(var.buses) > 0 ? 1 : 0
  name   = "${var.name}-eventbridge"
  policy = data.aws_iam_policy_document.eventbridge.json
}
