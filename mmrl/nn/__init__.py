"""Networks: input scaling, trunks per kind of modality, fusion."""
