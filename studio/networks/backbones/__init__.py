"""Networks trained on ImageNet whose feature maps metrics, losses and discriminators look through. None of them draws."""
