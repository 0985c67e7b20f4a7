"""Networks: input scaling, encoders per kind of modality, fusion."""
