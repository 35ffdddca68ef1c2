"""What the drawn worlds (miniscapes, minileaves) share: textures, the camera, files, and making a folder once."""
