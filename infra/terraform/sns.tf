# Notifier sns.

data "aws_iam_policy_document" "sns" {
  statement {
    sid    = "Tell"
    effect = "Allow"
    actions = [
      "sns:Publish",
    ]
    resources = var.topics
  }
}

resource "aws_iam_policy" "sns" {
  count  = length(var.topics) > 0 ? 1 : 0
  name   = "${var.name}-sns"
  policy = data.aws_iam_policy_document.sns.json
}
