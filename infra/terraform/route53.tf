# Router aws-route53.

data "aws_iam_policy_document" "route53" {
  statement {
    sid    = "Shift"
    effect = "Allow"
    actions = [
      "route53:ChangeResourceRecordSets",
      "route53:ListResourceRecordSets",
    ]
    resources = [for id in var.zones : "arn:aws:route53:::hostedzone/${id}"]
  }
  statement {
    sid    = "Follow"
    effect = "Allow"
    actions = [
      "route53:GetChange",
    ]
    resources = ["arn:aws:route53:::change/*"]
  }
  statement {
    sid    = "Health"
    effect = "Allow"
    actions = [
      "route53:GetHealthCheckStatus",
    ]
    resources = ["arn:aws:route53:::healthcheck/*"]
  }
}

resource "aws_iam_policy" "route53" {
  count  = length(var.zones) > 0 ? 1 : 0
  name   = "${var.name}-route53"
  policy = data.aws_iam_policy_document.route53.json
}
