from senogate.cli import main

main()
