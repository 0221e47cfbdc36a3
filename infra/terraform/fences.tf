# Routers aws-alb and aws-route53 with route.fence_table. The table's key is route, a text.

data "aws_iam_policy_document" "fences" {
  statement {
    sid    = "Fence"
    effect = "Allow"
    actions = [
      "dynamodb:GetItem",
      "dynamodb:PutItem",
    ]
    resources = var.fence_tables
  }
}

resource "aws_iam_policy" "fences" {
  count  = length(var.fence_tables) > 0 ? 1 : 0
  name   = "${var.name}-fences"
  policy = data.aws_iam_policy_document.fences.json
}
