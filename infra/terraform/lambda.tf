# Router aws-lambda: the alias, and whether a version is ready.

data "aws_iam_policy_document" "lambda" {
  statement {
    sid    = "Shift"
    effect = "Allow"
    actions = [
      "lambda:GetAlias",
      "lambda:GetFunctionConfiguration",
      "lambda:UpdateAlias",
    ]
    resources = concat(var.functions, [for arn in var.functions : "${arn}:*"])
  }
}

resource "aws_iam_policy" "lambda" {
  count  = length(var.functions) > 0 ? 1 : 0
  name   = "${var.name}-lambda"
  policy = data.aws_iam_policy_document.lambda.json
}
