"""Backbones of Detectron2's registry: ResNets of basic blocks, and any pyramid of timm."""
