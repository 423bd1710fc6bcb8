"""`trajgen/Tabletop-v0`: a robot arm, blocks and bowls under real contacts, played with skills in words."""
