"""Commands of the command line, a file each. They may import any room; none of the rooms knows them."""
