"""The trainer `lora`: pre-trained open models, fine-tuned with PyTorch, Transformers and PEFT."""
