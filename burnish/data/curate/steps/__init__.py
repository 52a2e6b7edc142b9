"""The steps, one file each; `burnish.data.curate.registry` names them."""
