# Source cloudwatch. CloudWatch lets nobody narrow what may be read.

data "aws_iam_policy_document" "cloudwatch" {
  statement {
    sid    = "Read"
    effect = "Allow"
    actions = [
      "cloudwatch:DescribeAlarms",
      "cloudwatch:GetMetricData",
      "cloudwatch:ListMetrics",
    ]
    resources = ["*"]
  }
}

resource "aws_iam_policy" "cloudwatch" {
  count  = var.read_cloudwatch ? 1 : 0
  name   = "${var.name}-cloudwatch"
  policy = data.aws_iam_policy_document.cloudwatch.json
}
