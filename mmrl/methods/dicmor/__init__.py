"""DiCMoR: distribution-consistent modality recovering."""
